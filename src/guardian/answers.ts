/** The guardian's own port: answers queries of the cluster's nodes with statements under its own key. */
import type { GroupName, NodeId } from '../base/index.js'
import type { GuardianAnswer, GuardianQuery } from '../core/guardian/index.js'
import { deriveKey, type OpenedDatagrams, openDatagrams } from '../io/datagram/index.js'
import type { PeerAddress } from '../io/peers/index.js'

/** Purpose of the key under which the nodes' own datagrams go, queries included. */
export const clusterKeyPurpose = 'datagram'
/** Name of a guardian in its datagrams, and purpose of its key. */
export const guardianSender = (node: NodeId) => `guardian:${node}`

const retryEvery = 1_000

/** Where an answer goes. */
export interface Asker {
  readonly link: number
  readonly address: PeerAddress
}

export interface AnswersConfig {
  readonly node: NodeId
  readonly secret: string
  readonly links: readonly PeerAddress[]
  readonly log: (text: string) => void
}

export class Answers {
  readonly #config: AnswersConfig
  readonly #onQuery: (query: GuardianQuery, from: Asker) => void
  #datagrams: OpenedDatagrams | undefined
  #closed = false
  #complained = false

  constructor(config: AnswersConfig, onQuery: (query: GuardianQuery, from: Asker) => void) {
    this.#config = config
    this.#onQuery = onQuery
  }

  /** A port that cannot be bound must not keep the guardian from guarding: it is tried again until it can. */
  async open() {
    const { node, secret, links, log } = this.#config
    const cluster = deriveKey(secret, clusterKeyPurpose)
    while (!this.#closed && this.#datagrams === undefined) {
      try {
        this.#datagrams = await openDatagrams({
          self: guardianSender(node),
          key: () => cluster,
          sendKey: deriveKey(secret, guardianSender(node)),
          links,
          listener: { onDatagram: (_sender, link, message, address) => this.#receive(link, message, address) },
        })
      } catch (error) {
        if (!this.#complained) log(`the guardian's port cannot be opened yet: ${String(error)}`)
        this.#complained = true
        await new Promise((resolve) => setTimeout(resolve, retryEvery))
      }
    }
  }

  send(answer: GuardianAnswer, to: Asker) {
    this.#datagrams?.send(to.link, to.address, answer)
  }

  async close() {
    this.#closed = true
    await this.#datagrams?.close()
  }

  #receive(link: number, message: unknown, address: PeerAddress) {
    if (typeof message !== 'object' || message === null) return
    const query = message as Partial<GuardianQuery>
    if (query.kind !== 'guardian-query' || typeof query.nonce !== 'string' || query.nonce.length > 256) return
    const groups = Array.isArray(query.groups) ? query.groups.filter((group): group is GroupName => typeof group === 'string') : undefined
    this.#onQuery({ kind: query.kind, nonce: query.nonce, ...(groups === undefined ? {} : { groups }) }, { link, address })
  }
}
