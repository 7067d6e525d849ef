export default async function tickets() {}
