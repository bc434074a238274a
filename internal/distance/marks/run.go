//go:build linux

package marks

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-redlock/redlock/internal/distance"
)

// childVar makes a program be the child of one that calls Run. Its value is the job.
const childVar = "REDLOCK_DISTANCE_JOB"

// A job is the child's task.
type job struct {
	Scenario   string
	Contestant string
	Addrs      []string
	CA         string // PEM, with TLS
	Scale      float64
}

// A Result is the result of a run.
type Result struct {
	Figures Figures
	Packets []distance.Counts // by server
}

// Run runs a scenario with a contestant. scale is its length, 1 for figures to publish.
func Run(ctx context.Context, s Scenario, contestant string, scale float64) (*Result, error) {
	l, err := distance.Open(s.Profile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	defer l.Close()
	j := job{Scenario: s.Name, Contestant: contestant, Scale: scale}
	var args []string
	if s.TLS {
		dir, err := os.MkdirTemp("", "redlock-tls-")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		defer os.RemoveAll(dir)
		if args, j.CA, err = secure(dir, l, len(s.Profile.RTT)); err != nil {
			return nil, fmt.Errorf("%s: certificates: %w", s.Name, err)
		}
	}
	if j.Addrs, err = l.Masters(max(s.Regions, 1), args...); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	figures, err := near(ctx, l, j)
	return &Result{figures, l.Counts()}, err
}

// near starts the child, which does the job.
func near(ctx context.Context, l *distance.Link, j job) (Figures, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.Scenario, err)
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.Scenario, err)
	}
	var out, failed bytes.Buffer
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childVar+"="+string(text))
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := l.StartNear(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", j.Scenario, err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s, %s: %w\n%s", j.Scenario, j.Contestant, err, failed.Bytes())
	}
	read := map[string]string{} // JSON has no infinity
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		return nil, fmt.Errorf("%s: %w", j.Scenario, err)
	}
	figures := Figures{}
	for name, v := range read {
		if figures[name], err = strconv.ParseFloat(v, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", j.Scenario, err)
		}
	}
	return figures, nil
}

// Child does the job if this process was started for one; then it does not return.
func Child(contestants map[string]Open) {
	text := os.Getenv(childVar)
	if text == "" {
		return
	}
	if err := child(text, contestants); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(text string, contestants map[string]Open) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	s, found := Find(j.Scenario)
	open := contestants[j.Contestant]
	if !found || open == nil {
		return fmt.Errorf("no scenario %q or contestant %q", j.Scenario, j.Contestant)
	}
	settings := Settings{TTL: s.TTL, MaxIdle: s.MaxIdle}
	if j.CA != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(j.CA)) {
			return errors.New("no certificate")
		}
		settings.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	}
	there := &site{scenario: s, addrs: j.Addrs, scale: j.Scale, settings: settings}
	there.open = func() (Locker, error) { return open(j.Addrs, settings) }
	there.openIn = func(region int) (Locker, error) {
		masters := len(j.Addrs) / s.Regions
		return open(j.Addrs[region*masters:][:masters], settings)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	figures, err := s.run(ctx, there)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", j.Scenario, j.Contestant, err)
	}
	write := map[string]string{}
	for name, v := range figures {
		write[name] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return json.NewEncoder(os.Stdout).Encode(write)
}

// secure makes a certificate for all servers in dir, and returns the arguments that make a server
// use it.
func secure(dir string, l *distance.Link, servers int) (args []string, ca string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	for i := range servers {
		host, _, _ := net.SplitHostPort(l.Addr(i, 0))
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(host))
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	err = errors.Join(
		os.WriteFile(certFile, text, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
	return []string{
		"--port", "0", "--tls-port", strconv.Itoa(distance.RedisPort), "--tls-auth-clients", "no",
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile,
	}, string(text), err
}

// never is the figure of something that did not happen.
var never = math.Inf(1)
