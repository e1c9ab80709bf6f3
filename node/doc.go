// Package node is the validation node: it puts the parts together, runs them,
// and shows them to the operator's door.
//
// The parts are in packages of their own below this one; each declares its
// settings and metrics beside its code. This package is the only one that knows
// them all.
package node
