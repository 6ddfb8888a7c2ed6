// What a browser has and Node 20 has not, so that the clients are set up here as in a page.
import { WebSocket } from 'ws';

globalThis.WebSocket ??= WebSocket;
