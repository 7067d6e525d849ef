import { createTestClient, http, publicActions, walletActions } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { foundry } from 'viem/chains';
import { compile } from '../contract/compile.js';
import { startAnvil } from './anvil.js';
import { startNetwork } from './network.js';

/** A real Ethereum node with the contract on it, that mines a block for each transaction at once, or not while it is told so. */
export async function startChain() {
	const node = await startAnvil();
	const network = await startNetwork(node.url);
	const client = createTestClient({ mode: 'anvil', chain: foundry, transport: http(node.url), pollingInterval: 20, cacheTime: 0 })
		.extend(publicActions).extend(walletActions);
	const [admin] = await client.getAddresses();
	const privateKey = generatePrivateKey();
	const minter = privateKeyToAccount(privateKey).address;
	await client.setBalance({ address: minter, value: 10n ** 20n });

	const { abi, bytecode } = compile('Ticket');
	const { contractAddress: address } = await mined(await client.deployContract({ abi, bytecode, account: admin, args: [minter] }));
	const role = await client.readContract({ abi, address, functionName: 'MINTER' });

	return {
		environment: { CHAIN_URL: network.url, CHAIN_KEY: privateKey, CHAIN_CONTRACT: address, CHAIN_TIMEOUT: '60000' },
		sent: network.sent,
		hold: network.hold,
		loseAnswer: network.loseAnswer,
		cut: network.cut,
		mend: network.mend,

		/** From now on no block is mined. */
		stopMining: () => client.setAutomine(false),
		startMining: async () => {
			await client.setAutomine(true);
			await client.mine({ blocks: 1 });
		},
		/** How many transactions wait for a block. */
		waiting: async () => (await client.getTxpoolStatus()).pending,

		/** Who has a token; nobody if it was not minted. */
		owner: (token) => client.readContract({ abi, address, functionName: 'ownerOf', args: [BigInt(token)] }).catch(() => undefined),
		/** The tokens that were minted, in order. */
		async minted() {
			const logs = await client.getContractEvents({ abi, address, eventName: 'Transfer', fromBlock: 0n });
			return logs.map(({ args }) => String(args.tokenId));
		},

		/** The contract refuses what the application asks for, or no longer. */
		forbid: () => administer('revokeRole'),
		allow: () => administer('grantRole'),

		async close() {
			network.close();
			await node.stop();
		},
	};

	async function administer(functionName) {
		await mined(await client.writeContract({ abi, address, account: admin, functionName, args: [role, minter] }));
	}

	function mined(hash) {
		return client.waitForTransactionReceipt({ hash });
	}
}
