/** The file that a node is started with. */
export { type ApiConfig, type NodeConfig, readNodeConfig } from './node-file.js'
