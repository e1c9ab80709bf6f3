// Package smalldisk has a disk that tests can fill.
package smalldisk
