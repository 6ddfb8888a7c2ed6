// The OrangeHRM accounts that the simulator knows, and what it asks each of them.

export const PASSWORD = 'admin123';
export const WRONG_PASSWORD = 'canary-orangehrm-91c4';

/** Signs in without a question. */
export const PLAIN = 'Admin';

/** Is asked for a passcode. */
export const WITH_PASSCODE = 'passcode';
export const PASSCODE = '123456';
export const WRONG_PASSCODE = 'canary-passcode-2e7b';

/** Is asked to choose one of some ways to get a passcode, and then for the passcode. */
export const WITH_CHOICE = 'choice';
