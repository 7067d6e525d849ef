import { v4, v5, v7 } from 'uuid';

/** The namespace of the keys that this application derives. */
export const NAMESPACE = '5f0d3c8a-5a0c-4e55-9a53-2b1c0a7d4e61';

/** The same key for the same effect, on every machine and after every crash: no clock is in it. */
export function deterministic(...parts) {
	return v5(parts.map((part) => String(part).replace(/[\\:]/g, '\\$&')).join(':'), NAMESPACE);
}

/** A key for a request that nobody else can name. */
export const random = v4;

/** The same, sorted by its time. */
export const timeStamped = v7;
