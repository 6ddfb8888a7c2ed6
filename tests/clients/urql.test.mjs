import * as urql from './clients/urql.mjs';
import { clientScenarios } from './lib/scenarios.mjs';

clientScenarios(urql);
