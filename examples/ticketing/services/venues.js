export default async function venues() {}
export async function accountEvent() {}
