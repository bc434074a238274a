// Package house measures the structure of the project's code: which declarations use which, how
// large the greatest set of declarations is that all depend on each other (a knot), and which
// arrows between files run back up. Its tests check the figures, and draw the picture in
// docs/design.md, so that neither can become outdated.
package house
