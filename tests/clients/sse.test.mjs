import * as sse from './clients/sse.mjs';
import { clientScenarios } from './lib/scenarios.mjs';

clientScenarios(sse);
