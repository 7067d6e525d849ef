export function connectChain() {}
