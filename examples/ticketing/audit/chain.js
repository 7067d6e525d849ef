export async function startChain() {}
