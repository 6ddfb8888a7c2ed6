import * as apollo from './clients/apollo.mjs';
import { clientScenarios } from './lib/scenarios.mjs';

clientScenarios(apollo);
