import {
	createPublicClient, encodeFunctionData, http, keccak256, parseAbi,
	TransactionNotFoundError, TransactionReceiptNotFoundError, WaitForTransactionReceiptTimeoutError,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { Outage, Pending } from './errors.js';

const abi = parseAbi(['function mint(address to, uint256 id)']);
const GAS = 200_000n;		// minting takes less than half of it

/** @typedef {ReturnType<typeof openChain>} Chain */

/**
 * The way to the contract on the chain.  A transaction is signed first and sent
 * later, so that its hash can be stored in between: sending it once more does
 * nothing, signing another one would mint again.
 *
 * @param {{url: string, privateKey: `0x${string}`, contract: `0x${string}`, timeout: number}} settings  timeout in milliseconds, for a transaction to be mined
 */
export function openChain({ url, privateKey, contract, timeout }) {
	const account = privateKeyToAccount(privateKey);
	const client = createPublicClient({ transport: http(url, { retryCount: 0, timeout: 20_000 }), pollingInterval: 200, cacheTime: 0 });

	return {
		account: account.address,

		/** What a signature needs to know, asked for before anything is locked. */
		async terms() {
			const [chainId, { maxFeePerGas, maxPriorityFeePerGas }, nonce] = await answered(Promise.all([
				client.getChainId(),
				client.estimateFeesPerGas(),
				client.getTransactionCount({ address: account.address, blockTag: 'pending' }),
			]));
			return { chainId, maxFeePerGas, maxPriorityFeePerGas, nonce };
		},

		/**
		 * Signs the transaction that mints a token; nothing is sent.
		 *
		 * @param {{chainId: number, maxFeePerGas: bigint, maxPriorityFeePerGas: bigint, nonce: number}} terms
		 * @param {`0x${string}`} wallet
		 * @param {bigint} token
		 */
		async sign(terms, wallet, token) {
			const data = encodeFunctionData({ abi, functionName: 'mint', args: [wallet.toLowerCase(), token] });
			const signed = await account.signTransaction({ type: 'eip1559', to: contract, data, gas: GAS, ...terms });
			return { hash: keccak256(signed), signed };
		},

		/** Sends a signed transaction, unless the chain has it already. */
		async send({ hash, signed }) {
			if (await isKnown(hash)) {
				return;
			}
			try {
				await client.sendRawTransaction({ serializedTransaction: signed });
			} catch (error) {
				if (!await isKnown(hash)) {		// somebody else may have sent it meanwhile
					throw unavailable(error);
				}
			}
		},

		/** Waits until a transaction is mined. That it isn't in time says nothing about whether it will be. */
		async wait({ hash }) {
			try {
				return stateOf(await client.waitForTransactionReceipt({ hash, timeout, checkReplacement: false }));
			} catch (error) {
				if (error instanceof WaitForTransactionReceiptTimeoutError) {
					throw new Pending(`the transaction ${hash} is not mined yet, try again with the same key`);
				}
				throw unavailable(error);
			}
		},

		/** What has become of a transaction, if it is mined. */
		async outcome({ hash }) {
			const receipt = await answered(client.getTransactionReceipt({ hash }).catch(unless(TransactionReceiptNotFoundError)));
			return receipt && stateOf(receipt);
		},
	};

	async function isKnown(hash) {
		return Boolean(await answered(client.getTransaction({ hash }).catch(unless(TransactionNotFoundError))));
	}
}

function stateOf({ status }) {
	return status === 'success' ? 'confirmed' : 'failed';
}

function unless(expected) {
	return (error) => {
		if (!(error instanceof expected)) {
			throw error;
		}
	};
}

function answered(answer) {
	return answer.catch((error) => { throw unavailable(error); });
}

function unavailable(cause) {
	return new Outage('the chain could not be asked', { cause });
}
