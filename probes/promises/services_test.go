//go:build integration

package promises_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes/promises"
)

// address returns what `make test` starts and names in a variable.
func address(t *testing.T, variable string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		t.Fatalf("%s is not set: run `make test`, which starts PostgreSQL and Redis", variable)
	}
	return v
}

// The configured PostgreSQL and Redis are measured in a schema and under a prefix of
// the bench's own, of which nothing is left.
func TestConfiguredServicesAreMeasuredAndLeftClean(t *testing.T) {
	dsn, url := address(t, "BIZRA_TEST_POSTGRES_URL"), address(t, "BIZRA_TEST_REDIS_URL")
	o := onEmbedded(t, settings.Change{Key: "store.dsn", Value: dsn}, settings.Change{Key: "cache.l2.url", Value: url})
	o.Only = []string{"pool", "database", "cache.l2_mean"}
	r, err := promises.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		t.Logf("%s: before %.3g, after %.3g %s", row.Name, row.Before, row.After, row.Unit)
		if !(row.Before > 0) || !(row.After > 0) {
			t.Errorf("%+v", row)
		}
	}
	if len(r.Rows) != 4 {
		t.Errorf("%d rows", len(r.Rows))
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var schemas int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bizra_bench_%'").Scan(&schemas); err != nil || schemas != 0 {
		t.Errorf("%d schemas are left, %v", schemas, err)
	}
	parsed, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(parsed)
	defer client.Close()
	if keys, err := client.Keys(t.Context(), "bizra-bench-*").Result(); err != nil || len(keys) != 0 {
		t.Errorf("%d keys are left, %v", len(keys), err)
	}
}
