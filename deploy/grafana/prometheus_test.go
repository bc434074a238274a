package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	model "github.com/prometheus/client_model/go"

	"github.com/go-redlock/redlock/internal/observertest"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/redlockprom"
)

// Everything happens twice while a Prometheus scrapes, so that also a series that began with its
// first event has risen.
func TestEveryQueryTellsOfARunThatPrometheusHasScraped(t *testing.T) {
	t.Parallel()
	metrics := redlockprom.New(redlockprom.WithNames(observertest.Kind))
	registry := client.NewRegistry()
	registry.MustRegister(metrics)
	handler, scrapes := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		select {
		case scrapes <- struct{}{}:
		default: // nobody waits for one
		}
	}))
	t.Cleanup(target.Close)
	server := startPrometheus(t, target.Listener.Addr().String())
	for range 2 {
		live(t, metrics)
		for range 3 { // one scrape may have begun before, and an answered one may not be stored yet
			select {
			case <-scrapes:
			case <-server.gone:
				t.Fatal("prometheus has ended")
			}
		}
	}

	for _, q := range targets(t) {
		var vector []struct {
			Metric map[string]string
			Value  [2]any
		}
		server.ask(t, "query?"+url.Values{"query": {q.expr}}.Encode(), &vector)
		most := 0.0
		for _, s := range vector {
			if v, err := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64); err == nil && v > most {
				most = v
			}
		}
		if most == 0 {
			t.Errorf("%s: nothing is told: %v by %s", q.panel, vector, q.expr)
		}
	}
	for name, query := range choices(t) {
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(query)
		if m == nil {
			t.Errorf("%s: %s", name, query)
			continue
		}
		var values []string
		server.ask(t, "label/"+m[2]+"/values?"+url.Values{"match[]": {m[1]}}.Encode(), &values)
		if len(values) == 0 {
			t.Errorf("%s: there is nothing to choose by %s", name, query)
		}
	}
}

// A promServer is a Prometheus that runs.
type promServer struct {
	addr string
	gone chan struct{} // closed when it has ended
}

// startPrometheus starts a Prometheus that scrapes the target. It ends with the test.
func startPrometheus(t *testing.T, target string) promServer {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		servertest.Missing(t, err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := "scrape_configs: [{job_name: billing, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [" + strconv.Quote(target) + "]}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	var said strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	server := promServer{addr, make(chan struct{})}
	go func() {
		defer close(server.gone)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-server.gone
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return server
}

// ask sends a request to its HTTP interface.
func (s promServer) ask(t *testing.T, path string, data any) {
	t.Helper()
	resp, err := http.Get("http://" + s.addr + "/api/v1/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %v %+v", path, err, answer)
	}
	result := answer.Data
	var vector struct{ Result json.RawMessage }
	if json.Unmarshal(answer.Data, &vector) == nil && vector.Result != nil {
		result = vector.Result
	}
	if err := json.Unmarshal(result, data); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// gather returns what a scrape gets.
func gather(t *testing.T, c client.Collector) []*model.MetricFamily {
	t.Helper()
	registry := client.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}
