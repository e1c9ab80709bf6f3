// Package promises measures on this host what the product promises, beside what it
// replaced.
//
// Each [Row] is a promise: a target, what the node's own parts reach, and what the
// parts of package before reach, which are built the obvious way, in the same run,
// under the same load and on the same providers and database. Nothing is quoted.
// What was done is said in each row.
//
// Everything runs in one process, the generator of the load and, where no
// configuration names others, the providers' chain, SQLite and an embedded Redis
// included: they take their share of the host, and of the memory that is measured.
package promises
