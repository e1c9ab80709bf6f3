// Package before holds the parts that the node's own are measured against: what a
// service of this kind has before anyone has measured it. They work; they are only
// built the obvious way. The bench alone uses them.
//
//   - [Source] asks the providers of one verdict one call after the other.
//   - [Cache] throws out what came first (FIFO), holds one lock for all, and sweeps
//     what has expired while it holds it.
//   - [Breaker] keeps its window as an array and scans it with every call.
//   - [OpenPool] opens eight connections for each core, and each verdict is a
//     transaction of its own.
//   - [Server] is a service made of them.
package before
