export default async function blockchain() {}
