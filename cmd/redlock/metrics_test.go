package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-redlock/redlock/internal/servertest"
)

// Prometheus itself evaluates the alerts of docs/command.md for a job on two machines. The first
// machine succeeds in the first night. In the second night it finds the lock held, while the other
// machine succeeds, or fails.
func TestTheHandbooksAlertsOnRunsFire(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		servertest.Missing(t, err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "command.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```promql\n")
	block, _, _ := strings.Cut(rest, "```")
	alerts := strings.Split(strings.TrimSpace(block), "\n")
	if len(alerts) != 2 {
		t.Fatalf("docs/command.md has %d alerts", len(alerts))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules.yml": fmt.Sprintf("groups: [{name: runs, rules: [{alert: Missed, expr: %q}, {alert: Failed, expr: %q}]}]", alerts[0], alerts[1]),
		"tests.yml": `rule_files: [rules.yml]
evaluation_interval: 30m
tests:
  - name: the other fails
    interval: 30m
    input_series:
      - {series: 'redlock_run_end_timestamp_seconds{instance="a",lock="nightly"}', values: 0x47 86400x60}
      - {series: 'redlock_run_result{instance="a",lock="nightly",result="ok"}', values: 1x47 0x60}
      - {series: 'redlock_run_result{instance="a",lock="nightly",result="held"}', values: 0x47 1x60}
      - {series: 'redlock_run_end_timestamp_seconds{instance="b",lock="nightly"}', values: _x48 86400x60}
      - {series: 'redlock_run_result{instance="b",lock="nightly",result="ok"}', values: _x48 0x60}
      - {series: 'redlock_run_result{instance="b",lock="nightly",result="failed"}', values: _x48 1x60}
    alert_rule_test:
      - {eval_time: 23h, alertname: Failed}
      - {eval_time: 24h, alertname: Failed, exp_alerts: [{exp_labels: {instance: b, lock: nightly, result: failed}}]}
      - {eval_time: 25h, alertname: Missed}
      - {eval_time: 26h, alertname: Missed, exp_alerts: [{exp_labels: {lock: nightly}}]}
      - {eval_time: 48h, alertname: Missed, exp_alerts: [{exp_labels: {lock: nightly}}]}
  - name: the other succeeds
    interval: 30m
    input_series:
      - {series: 'redlock_run_end_timestamp_seconds{instance="a",lock="nightly"}', values: 0x47 86400x60}
      - {series: 'redlock_run_result{instance="a",lock="nightly",result="ok"}', values: 1x47 0x60}
      - {series: 'redlock_run_end_timestamp_seconds{instance="b",lock="nightly"}', values: _x48 86400x60}
      - {series: 'redlock_run_result{instance="b",lock="nightly",result="ok"}', values: _x48 1x60}
    alert_rule_test:
      - {eval_time: 26h, alertname: Missed}
      - {eval_time: 26h, alertname: Failed}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", filepath.Join(dir, "tests.yml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
