// Package house measures how the project's code hangs together: which declarations use which, how
// large the greatest knot of them is, and which arrows between files run back up. Its tests hold
// the figures, and draw the picture in docs/design.md, so that neither can age.
package house
