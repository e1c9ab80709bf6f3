// Asks a node and the Ethereum client behind it the same questions with an
// unmodified viem, and compares the answers deeply.
// Usage: node viem.mjs NODE_MODULES NODE_URL CLIENT_URL
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [modules, nodeURL, clientURL] = process.argv.slice(2)
// An import would look for viem beside this file.
const require = createRequire(join(modules, 'viem.cjs'))
const { createPublicClient, createWalletClient, defineChain, http, parseAbi, parseEther } = require('viem')
const { mnemonicToAccount } = require('viem/accounts')

const chain = defineChain({
  id: 31337, name: 'anvil', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [clientURL] } },
})
const connect = (url, options = {}) => createPublicClient({
  chain, pollingInterval: 100, cacheTime: 0, transport: http(url, { retryCount: 0, ...options }),
})
const node = connect(nodeURL), client = connect(clientURL)
// One of anvil's accounts, whose keys everybody knows. Other tests that run at the
// same time use the first of them, and its nonces.
const account = mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex: 9 })
const other = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8'
const missing = '0x' + '12'.repeat(32)

let failures = 0
async function check(name, work) {
  try {
    await work()
    console.log('ok', name)
  } catch (e) {
    failures++
    console.log('FAILED', name, e)
  }
}
const same = (name, ask) => check(name, async () => assert.deepEqual(await ask(node), await ask(client)))

// What hangs on the head may differ for as long as the node keeps it, and other
// tests may be mining.
const moving = (name, ask) => check(name, async () => {
  for (let left = 10; ; left--) {
    const [got, want] = [await ask(node), await ask(client)]
    try {
      return assert.deepEqual(got, want)
    } catch (e) {
      if (left === 0) throw e
      await new Promise(done => setTimeout(done, 400))
    }
  }
})

// names lists the classes of an error and its causes, which is what programs
// decide by.
async function names(promise) {
  try {
    return ['no error', await promise]
  } catch (e) {
    const out = []
    for (; e; e = e.cause) out.push(e.name)
    return out
  }
}
const sameError = (name, ask) => check(name, async () => {
  const want = await names(ask(client))
  assert.notEqual(want[0], 'no error')
  assert.deepEqual(await names(ask(node)), want)
})

// A contract that answers 42 to any call:
// PUSH1 42 PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN, behind the code that puts it there.
const wallet = createWalletClient({ chain, account, transport: http(clientURL) })
const deployed = await client.waitForTransactionReceipt({
  hash: await wallet.deployContract({ abi: [], bytecode: '0x600a600c600039600a6000f3602a60005260206000f3' }),
})
const contract = deployed.contractAddress
const answer = { address: contract, abi: parseAbi(['function answer() view returns (uint256)']), functionName: 'answer' }
const paid = await client.waitForTransactionReceipt({
  hash: await wallet.sendTransaction({ to: other, value: parseEther('1.5'), data: '0xdeadbeef' }),
})

await same('getChainId', c => c.getChainId())
await moving('getBlockNumber', c => c.getBlockNumber())
await moving('getGasPrice', c => c.getGasPrice())
await moving('estimateFeesPerGas', c => c.estimateFeesPerGas())
await moving('getFeeHistory', c => c.getFeeHistory({ blockCount: 2, rewardPercentiles: [50] }))
for (const [name, which] of Object.entries({
  number: { blockNumber: paid.blockNumber }, hash: { blockHash: paid.blockHash }, genesis: { blockNumber: 0n },
  earliest: { blockTag: 'earliest' },
})) {
  await same(`getBlock by ${name}`, c => c.getBlock(which))
  await same(`getBlock by ${name} with transactions`, c => c.getBlock({ ...which, includeTransactions: true }))
}
await moving('getBlock by latest', c => c.getBlock({ includeTransactions: true }))
await same('getBlockTransactionCount', c => c.getBlockTransactionCount({ blockHash: paid.blockHash }))
for (const [name, hash] of Object.entries({ payment: paid.transactionHash, deployment: deployed.transactionHash })) {
  await same(`getTransaction of a ${name}`, c => c.getTransaction({ hash }))
  await same(`getTransactionReceipt of a ${name}`, c => c.getTransactionReceipt({ hash }))
}
await same('getTransaction by block and index', c => c.getTransaction({ blockHash: paid.blockHash, index: 0 }))
for (const address of [account.address, other, contract, '0x00000000000000000000000000000000000012ab']) {
  await moving(`getBalance of ${address}`, c => c.getBalance({ address }))
  await same(`getBalance of ${address} at a block`, c => c.getBalance({ address, blockNumber: deployed.blockNumber }))
  await moving(`getTransactionCount of ${address}`, c => c.getTransactionCount({ address }))
  await moving(`getCode of ${address}`, c => c.getCode({ address }))
}
await same('getStorageAt', c => c.getStorageAt({ address: contract, slot: '0x0' }))
await same('getProof', c => c.getProof({ address: other, storageKeys: [], blockNumber: paid.blockNumber }))
await same('call', c => c.call({ to: contract, data: '0x85bb7d69' }))
await check('readContract', async () => assert.equal(await node.readContract(answer), 42n))
await same('readContract at a block', c => c.readContract({ ...answer, blockNumber: paid.blockNumber }))
await same('estimateGas', c => c.estimateGas({ account: account.address, to: other, value: 1n }))
await same('getLogs', c => c.getLogs({ fromBlock: deployed.blockNumber, toBlock: paid.blockNumber }))

await sameError('a missing transaction', c => c.getTransaction({ hash: missing }))
await sameError('a missing receipt', c => c.getTransactionReceipt({ hash: missing }))
await sameError('a missing block', c => c.getBlock({ blockHash: missing }))
await sameError('a contract that is not there', c => c.readContract({ ...answer, address: other }))
await sameError('a transaction that is none', c => c.sendRawTransaction({ serializedTransaction: '0x02c0' }))
await sameError('a nonce too low', async c => c.sendRawTransaction({
  serializedTransaction: await account.signTransaction({
    type: 'eip1559', chainId: 31337, nonce: 0, gas: 21000n, to: other, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n,
  }),
}))

await check('a batch transport', async () => {
  const ask = c => Promise.all([
    c.getBlock({ blockNumber: 0n }), c.getBalance({ address: other, blockNumber: paid.blockNumber }), c.getTransaction({ hash: paid.transactionHash }),
    c.readContract(answer), c.getChainId(), c.getTransactionReceipt({ hash: deployed.transactionHash }),
    names(c.getTransaction({ hash: missing })),
  ])
  const batched = url => connect(url, { batch: { wait: 20 } })
  assert.deepEqual(await ask(batched(nodeURL)), await ask(batched(clientURL)))
})

await check('sendRawTransaction through the node, and its receipt', async () => {
  const sign = async nonce => account.signTransaction({
    type: 'eip1559', chainId: 31337, nonce, gas: 21000n, to: other, value: 7n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n,
  })
  for (let i = 0; i < 3; i++) {
    const nonce = await node.getTransactionCount({ address: account.address, blockTag: 'pending' })
    const hash = await node.sendRawTransaction({ serializedTransaction: await sign(nonce) })
    const receipt = await node.waitForTransactionReceipt({ hash, timeout: 20_000 })
    assert.equal(receipt.status, 'success')
    assert.deepEqual(receipt, await client.getTransactionReceipt({ hash }))
    assert.deepEqual(await node.getTransaction({ hash }), await client.getTransaction({ hash }))
  }
})

await check('a wallet on the node', async () => {
  const wallet = createWalletClient({ chain, account, transport: http(nodeURL) })
  const hash = await wallet.sendTransaction({ to: other, value: 9n })
  assert.equal((await node.waitForTransactionReceipt({ hash, timeout: 20_000 })).status, 'success')
})

process.exit(failures ? 1 : 0)
