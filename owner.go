package redlock

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // Redis's own fingerprint
	"encoding/hex"
)

// newOwner returns a fresh owner id.
func newOwner(holder string) string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	id := make([]byte, 0, 2*len(random)+1+maxHolderLen)
	id = hex.AppendEncode(id, random[:])
	if holder != "" {
		id = append(append(id, ':'), holder...)
	}
	return string(id)
}

// fingerprint is what nodes show others instead of the owner id: see pool/lua/acquire.lua.
func (a *attempt) fingerprint() string { return fingerprintOf(a.acquire.Owner) }

func fingerprintOf(value string) string {
	sum := sha1.Sum([]byte(value)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:8])
}
