// Sends transactions one after the other with an unmodified client library, and reads at
// the newest block after every receipt.
// Usage: node sends.mjs NODE_MODULES URL viem|ethers|web3 ACCOUNT SENDS
// Prints the number of reads, and of those that were from before the receipt.
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [modules, url, library, index, sends] = process.argv.slice(2)
const require = createRequire(join(modules, 'sends.cjs'))
const phrase = 'test test test test test test test test test test test junk'
// Nobody else pays this one.
const recipient = '0x00000000000000000000000000000000000b12' + (10 + Number(index)).toString(16).padStart(2, '0')
const fees = { gas: 21000n, maxFeePerGas: 10n ** 11n, maxPriorityFeePerGas: 10n ** 9n }

const libraries = {
  viem() {
    const { createPublicClient, createWalletClient, defineChain, http } = require('viem')
    const { mnemonicToAccount } = require('viem/accounts')
    const account = mnemonicToAccount(phrase, { addressIndex: Number(index) })
    const chain = defineChain({ id: 31337, name: 'anvil', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [url] } } })
    const client = createPublicClient({ chain, pollingInterval: 50, cacheTime: 0, transport: http(url) })
    const wallet = createWalletClient({ chain, account, transport: http(url) })
    return {
      address: account.address,
      send: async () => client.waitForTransactionReceipt({ hash: await wallet.sendTransaction({ to: recipient, value: 1n, ...fees }), timeout: 30_000 }),
      nonce: () => client.getTransactionCount({ address: account.address }),
      balance: address => client.getBalance({ address }),
      number: () => client.getBlockNumber({ cacheTime: 0 }),
      block: async () => (await client.getBlock()).number,
      receipt: async hash => client.getTransactionReceipt({ hash }),
    }
  },
  ethers() {
    const { HDNodeWallet, JsonRpcProvider, Mnemonic } = require('ethers')
    const provider = new JsonRpcProvider(url, 31337, { staticNetwork: true, pollingInterval: 50, cacheTimeout: -1 })
    const wallet = HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(phrase), `m/44'/60'/0'/0/${index}`).connect(provider)
    return {
      address: wallet.address,
      send: async () => (await wallet.sendTransaction({ to: recipient, value: 1n, gasLimit: fees.gas, maxFeePerGas: fees.maxFeePerGas, maxPriorityFeePerGas: fees.maxPriorityFeePerGas })).wait(1, 30_000),
      nonce: () => provider.getTransactionCount(wallet.address, 'latest'),
      balance: address => provider.getBalance(address),
      number: () => provider.getBlockNumber(),
      block: async () => (await provider.getBlock('latest')).number,
      receipt: hash => provider.getTransactionReceipt(hash),
    }
  },
  web3() {
    const { Web3 } = require('web3')
    const web3 = new Web3(url)
    web3.eth.transactionPollingInterval = 50
    web3.eth.transactionReceiptPollingInterval = 50
    const { HDNodeWallet, Mnemonic } = require('ethers') // web3 reads no phrases
    const key = HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(phrase), `m/44'/60'/0'/0/${index}`).privateKey
    const account = web3.eth.accounts.privateKeyToAccount(key)
    web3.eth.accounts.wallet.add(account)
    return {
      address: account.address,
      send: () => web3.eth.sendTransaction({ from: account.address, to: recipient, value: 1, ...fees }),
      nonce: () => web3.eth.getTransactionCount(account.address),
      balance: address => web3.eth.getBalance(address),
      number: () => web3.eth.getBlockNumber(),
      block: async () => (await web3.eth.getBlock()).number,
      receipt: hash => web3.eth.getTransactionReceipt(hash),
    }
  },
}

const client = libraries[library]()
let reads = 0, stale = 0
const check = (what, good) => {
  reads++
  if (!good) {
    stale++
    console.log(`stale: ${what}`)
  }
}
const first = Number(await client.nonce())
const paid = await client.balance(recipient)
let own = await client.balance(client.address)
for (let i = 1; i <= Number(sends); i++) {
  const receipt = await client.send()
  const height = BigInt(receipt.blockNumber), hash = receipt.transactionHash ?? receipt.hash
  check('nonce', Number(await client.nonce()) === first + i)
  check('balance of the recipient', BigInt(await client.balance(recipient)) === BigInt(paid) + BigInt(i))
  check('number', BigInt(await client.number()) >= height)
  check('newest block', BigInt(await client.block()) >= height)
  const now = BigInt(await client.balance(client.address))
  check('own balance', now < BigInt(own))
  own = now
  check('receipt again', (await client.receipt(hash)) !== null)
  check('nonce again', Number(await client.nonce()) === first + i)
}
console.log(`reads ${reads} stale ${stale}`)
process.exit(stale ? 1 : 0)
