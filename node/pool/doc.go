// Package pool bounds the use of the database.
//
// A [Gate] lets a limited number of callers through at once; the limit can
// change while it is in use, and waiting has a deadline. [Postgres] is a pgx
// pool, built at a ceiling because pgxpool's own MaxConns is fixed, behind such
// a gate and a circuit breaker.
package pool
