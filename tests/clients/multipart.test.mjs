import * as multipart from './clients/multipart.mjs';
import { clientScenarios } from './lib/scenarios.mjs';

clientScenarios(multipart);
