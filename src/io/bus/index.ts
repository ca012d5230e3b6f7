/** The system's message bus (D-Bus): calls that end in time, and signals. */
export { type BusCall, type BusConnection, BusError, type BusListener, BusSilent, connectBus, systemBusSocket } from './connection.js'
export { type BusMessage, encodeMessage, MessageReader } from './message.js'
export { type BusValue, BusVariant } from './wire.js'
