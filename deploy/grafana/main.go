// Command grafana prints the dashboard for what redlockprom exports, as Grafana imports it:
//
//	go -C deploy/grafana run . >deploy/grafana/redlock.json
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	text, err := render()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(text)
}

// render makes the file.
func render() ([]byte, error) {
	board, err := build()
	if err != nil {
		return nil, fmt.Errorf("the dashboard: %w", err)
	}
	text, err := json.MarshalIndent(board, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the dashboard: %w", err)
	}
	return append(text, '\n'), nil
}

// A query is one expression and the legend of its series.
type query struct{ expr, legend string }

// A graph is one panel over time.
type graph struct {
	title, description, unit string
	queries                  []query
}

// A figure is one number at the top. If it counts problems, it is red from 1 on.
type figure struct {
	title, description, unit, expr string
	trouble                        bool
}

// Selectors for the variables at the top of the dashboard.
const (
	locks = `{job=~"$job",lock=~"$lock"}`
	nodes = `{job=~"$job",node=~"$node"}`
)

// rate returns the query for how often something happens, by labels.
func rate(by, metric, selector string) string {
	return "sum by (" + by + ") (rate(" + metric + selector + "[$__rate_interval]))"
}

// quantile returns the query for a quantile of a histogram, by a label.
func quantile(q, by, metric, selector string) string {
	return "histogram_quantile(" + q + ", sum by (" + by + ", le) (rate(" + metric + "_bucket" + selector + "[$__rate_interval])))"
}

// quantiles returns the queries for the median and the 99th percentile.
func quantiles(by, metric, selector string) []query {
	return []query{
		{quantile("0.5", by, metric, selector), "p50 {{" + by + "}}"},
		{quantile("0.99", by, metric, selector), "p99 {{" + by + "}}"},
	}
}

// figures are at the top, to be looked at first.
var figures = []figure{
	{"Leases held", "Now.", "short", "sum(redlock_leases" + locks + ")", false},
	{"Leases lost", "Ended under their holders: work may have overlapped.", "short", "sum(increase(redlock_leases_lost_total" + locks + "[$__range]))", true},
	{"Leases in danger", "Renewals failed until a third of the TTL was left.", "short", "sum(increase(redlock_leases_in_danger_total" + locks + "[$__range]))", true},
	{"Calls without a quorum", "Too few masters answered, or would serve.", "short", `sum(increase(redlock_failures_total{job=~"$job",lock=~"$lock",verdict="no_quorum"}[$__range]))`, true},
	{"Wait, p99", "From the call to the lease.", "s", "histogram_quantile(0.99, sum by (le) (rate(redlock_wait_duration_seconds_bucket" + locks + "[$__range])))", false},
	{"Releases given up", "Their keys last until the TTL.", "short", "sum(increase(redlock_dropped_releases_total" + nodes + "[$__range]))", true},
}

// rows are the graphs below, by subject.
var rows = []struct {
	title  string
	graphs []graph
}{
	{"Locks", []graph{
		{"Waits for locks", "From the call to the lease.", "s", quantiles("lock", "redlock_wait_duration_seconds", locks)},
		{"Holds", "From the beginning of a lease to its release or loss.", "s", quantiles("lock", "redlock_hold_duration_seconds", locks)},
		{"Leases held", "", "short", []query{{"sum by (lock) (redlock_leases" + locks + ")", "{{lock}}"}}},
		{"Attempts", "A call that waits makes several.", "ops", []query{{rate("verdict", "redlock_attempts_total", locks), "{{verdict}}"}}},
		{"Duration of attempts", "From before the first request to the decision of the majority.", "s", quantiles("lock", "redlock_attempt_duration_seconds", locks)},
		{"Calls without a lease", "By cause. Those that found the lock held are of a healthy system.", "ops", []query{{rate("lock, verdict", "redlock_failures_total", locks), "{{lock}} {{verdict}}"}}},
	}},
	{"Leases", []graph{
		{"Lost", "Work may have overlapped with another's, unless the resource checks the fencing token.", "ops", []query{{rate("lock", "redlock_leases_lost_total", locks), "{{lock}}"}}},
		{"In danger", "Renewals failed until a third of the TTL was left: a loss is near.", "ops", []query{{rate("lock", "redlock_leases_in_danger_total", locks), "{{lock}}"}}},
		{"Renewals", "", "ops", []query{{rate("verdict", "redlock_renewals_total", locks), "{{verdict}}"}}},
		{"Validity", "What was left of leases when their callers got them, at the least.", "s", []query{{quantile("0.01", "lock", "redlock_validity_seconds", locks), "p1 {{lock}}"}}},
		{"Unlocks", "", "ops", []query{{rate("verdict", "redlock_releases_total", locks), "{{verdict}}"}}},
		{"Repairs of tokens", "Second requests, where the clocks of masters and clients differ.", "ops", []query{{rate("lock", "redlock_fence_repairs_total", locks), "{{lock}}"}}},
	}},
	{"Masters", []graph{
		{"Round trips", "Near the node timeout votes are about to be lost.", "s", quantiles("node", "redlock_node_duration_seconds", nodes)},
		{"Requests", "By verdict, over all masters.", "ops", []query{{rate("verdict", "redlock_node_requests_total", nodes), "{{verdict}}"}}},
		{"Masters that do not serve", "A minority is not felt otherwise.", "ops", []query{{rate("node, verdict", "redlock_node_requests_total", `{job=~"$job",node=~"$node",verdict=~"unavailable|refused|quarantined"}`), "{{node}} {{verdict}}"}}},
		{"Requests by verb", "", "ops", []query{{rate("verb", "redlock_node_requests_total", nodes), "{{verb}}"}}},
		{"Releases not confirmed", "They are pending: sent again until the master confirms them or the TTL is over.", "ops", []query{{rate("node, verdict", "redlock_node_requests_total", `{job=~"$job",node=~"$node",verb="release",verdict=~"unavailable|refused"}`), "{{node}} {{verdict}}"}}},
		{"Under way", "Requests, and releases that a master has not confirmed. For Lockers that are watched.", "short", []query{{`sum(redlock_pending_requests{job=~"$job"})`, "all"}}},
		{"Releases given up", "Their keys last until the TTL: a master was away for long under load (backlog), or refuses releases (refused).", "ops", []query{{rate("node, reason", "redlock_dropped_releases_total", nodes), "{{node}} {{reason}}"}}},
	}},
}

// build makes the dashboard in the schema that older versions of Grafana can import too.
func build() (dashboard.Dashboard, error) { //nolint:staticcheck // the newer schema needs a newer Grafana
	board := dashboard.NewDashboardBuilder("Redlock"). //nolint:staticcheck // likewise
								Uid("redlock").
								Description("Locks, leases and masters, as redlockprom tells of them.").
								Tags([]string{"redlock"}).
								Time("now-1h", "now").
								Refresh("30s").
								Tooltip(dashboard.DashboardCursorSyncCrosshair).
								WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
								WithVariable(variable("job", "Job", "redlock_attempts_total")).
								WithVariable(variable("lock", "Lock", `redlock_attempts_total{job=~"$job"}`)).
								WithVariable(variable("node", "Master", `redlock_node_requests_total{job=~"$job"}`))
	for _, f := range figures {
		board.WithPanel(f.panel())
	}
	for _, r := range rows {
		board.WithRow(dashboard.NewRowBuilder(r.title))
		for _, g := range r.graphs {
			board.WithPanel(g.panel())
		}
	}
	return board.Build() //nolint:wrapcheck // render adds the context
}

// source is the data source, which the dashboard's first variable chooses.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// variable returns a variable that chooses among the values of a metric's label. All matches any
// value, because a Locker without names has an empty label.
func variable(label, title, metric string) *dashboard.QueryVariableBuilder {
	all := dashboard.VariableOption{
		Selected: new(true),
		Text:     dashboard.StringOrArrayOfString{String: new("All")},
		Value:    dashboard.StringOrArrayOfString{String: new("$__all")},
	}
	return dashboard.NewQueryVariableBuilder(label).
		Label(title).
		Query(dashboard.StringOrMap{String: new("label_values(" + metric + ", " + label + ")")}).
		Datasource(source()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").
		Current(all)
}

func (f figure) panel() cog.Builder[dashboard.Panel] {
	steps := []dashboard.Threshold{{Color: "green"}}
	if f.trouble {
		// not from 1: an increase is extrapolated
		steps = append(steps, dashboard.Threshold{Value: new(0.5), Color: "red"})
	}
	return stat.NewPanelBuilder().
		Title(f.title).
		Description(f.description).
		Datasource(source()).
		Unit(f.unit).
		Height(4).Span(4).
		Orientation(common.VizOrientationAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)).
		WithTarget(prometheus.NewDataqueryBuilder().RefId("A").Expr(f.expr).Instant())
}

func (g graph) panel() cog.Builder[dashboard.Panel] {
	panel := timeseries.NewPanelBuilder().
		Title(g.title).
		Description(g.description).
		Datasource(source()).
		Unit(g.unit).
		Min(0).
		Height(8).Span(8).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	for i, q := range g.queries {
		panel.WithTarget(prometheus.NewDataqueryBuilder().RefId(string(rune('A' + i))).Expr(q.expr).LegendFormat(q.legend).Range())
	}
	return panel
}
