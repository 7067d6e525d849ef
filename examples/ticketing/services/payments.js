export default async function payments() {}
export async function paymentEvent() {}
