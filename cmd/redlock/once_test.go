//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/go-redlock/redlock/internal/servertest"
)

// blocks returns the code blocks of a language in docs/once.md.
func blocks(t *testing.T, language string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "once.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("docs/once.md has no block of %s", language)
	}
	return all
}

// A machinery is an environment for the lines of docs/once.md: masters with a password, the files
// that the page sets up, and a job that records its runs.
type machinery struct {
	t    *testing.T
	dir  string
	here *strings.Replacer // replaces the page's paths and times by the test's
}

func newMachinery(t *testing.T) *machinery {
	t.Helper()
	const password = "open sesame"
	servers := startServers(t, 3, "--requirepass", password)
	dir := t.TempDir()
	redlock, err := exec.LookPath("redlock")
	if err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(dir, "job")
	if err := os.WriteFile(job, []byte("#!/bin/sh\necho ran >>"+filepath.Join(dir, "ran")+"\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	m := &machinery{t, dir, strings.NewReplacer(
		"10.0.0.1:6379 10.0.0.2:6379 10.0.0.3:6379", strings.Join(servers.Addrs(), " "),
		"/usr/bin/redlock", redlock, "/opt/report", job, "/etc/redlock", filepath.Join(dir, "etc"),
		"${CREDENTIALS_DIRECTORY}/redis", filepath.Join(dir, "etc", "password"),
		"--wait 2m", "--wait 3s", // all but one machine wait so long
	)}
	if out := m.shell("PASSWORD='" + password + "'\n" + blocks(t, "sh")[0]); out != "" {
		t.Fatal(out)
	}
	return m
}

// shell runs lines of the page, and returns their output and their error.
func (m *machinery) shell(lines string) string {
	out, err := exec.CommandContext(m.t.Context(), "/bin/sh", "-e", "-c", m.here.Replace(lines)).CombinedOutput()
	if err != nil {
		return string(out) + err.Error()
	}
	return string(out)
}

// onTen runs a line on ten machines, one of them late. None may print anything, and one must run
// the job.
func (m *machinery) onTen(line string) {
	m.t.Helper()
	m.forget()
	said := make(chan string, 10)
	var punctual sync.WaitGroup
	for range 9 {
		punctual.Go(func() { said <- m.shell(line) })
	}
	punctual.Wait()
	said <- m.shell(line)
	close(said)
	for out := range said {
		if out != "" && !strings.HasPrefix(out, "redlock: waiting: ") {
			m.t.Errorf("%s\nsays: %s", line, out)
		}
	}
	ran, err := os.ReadFile(filepath.Join(m.dir, "ran"))
	if err != nil || strings.Count(string(ran), "ran") != 1 {
		m.t.Errorf("%s\nthe job has run %d times: %v", line, strings.Count(string(ran), "ran"), err)
	}
}

// forget restores the state before the job.
func (m *machinery) forget() {
	m.t.Helper()
	_ = os.Remove(filepath.Join(m.dir, "ran"))
	m.shell("/usr/bin/redlock release --force --yes --nodes-file /etc/redlock/nodes --password-file /etc/redlock/password report")
}

func TestTheHandbooksCrontabsRunAJobOnceOnTenMachines(t *testing.T) {
	t.Parallel()
	m := newMachinery(t)
	for _, crontab := range blocks(t, "cron") {
		for line := range strings.Lines(crontab) {
			_, command, found := strings.Cut(line, " root  ")
			if !found {
				t.Fatalf("not a line of /etc/cron.d: %s", line)
			}
			m.onTen(strings.TrimSpace(command))
		}
	}
}

func TestTheHandbooksServiceRunsAJobOnceOnTenMachines(t *testing.T) {
	t.Parallel()
	m := newMachinery(t)
	_, command, found := strings.Cut(blocks(t, "ini")[0], "ExecStart=")
	if !found {
		t.Fatal("the service starts nothing")
	}
	command, _, _ = strings.Cut(command, "\n")
	m.onTen(command)
}

func TestSystemdTakesTheHandbooksUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		servertest.Missing(t, err)
	}
	m := newMachinery(t)
	units := blocks(t, "ini")
	if len(units) != 2 {
		t.Fatalf("%d units were found", len(units))
	}
	service, timer := filepath.Join(m.dir, "report.service"), filepath.Join(m.dir, "report.timer")
	for name, text := range map[string]string{service: units[0], timer: units[1]} {
		// systemd's own path of the credentials stays
		text = strings.NewReplacer("/usr/bin/redlock", "/bin/true", "/etc/redlock", filepath.Join(m.dir, "etc")).Replace(text)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", service, timer).CombinedOutput(); err != nil || strings.Contains(string(out), m.dir) {
		t.Errorf("%v\n%s", err, out)
	}
}
