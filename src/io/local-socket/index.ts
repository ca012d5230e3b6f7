/** Streams of messages between the processes of one node, and locks among them. */
export { FrameReader, frameMax, toFrame } from './frames.js'
export { connectLocal, type LocalClient, type LocalConnection, type LocalListener, type LocalServer, listenLocal } from './local-socket.js'
export { acquireLock, type Lock } from './lock.js'
