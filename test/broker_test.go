package test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
)

// A gateway gets over what operators do to real brokers while it runs: its rights
// are taken away and given back, its topic is deleted and made anew, and takes less
// than the gateway has to send. It names each cause and sends everything in the end.
func TestGatewayGetsOverWhatOperatorsDo(t *testing.T) {
	t.Parallel()
	cluster, prefix := kafka.Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	const id = "operated-gw1"
	edge := must(cluster.Gateway(ctx, prefix, id))(t)
	s := newSite(t, "127.0.0.1:9", "")
	s.edit(t, "gateway.yaml", "gateway: {id: north-gw1,", "gateway: {id: "+id+",")
	s.onKafka(t, edge.SCRAM(), kafkaconn.Config{})
	s.sim(t)
	gateway := s.gateway(t)
	const sent = `sent_records_total{lane="telemetry"}`
	await(t, "telemetry is sent", time.Minute, func() bool { return s.metric(t, sent) > 0 })

	client := must(kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...)))(t)
	defer client.Close()
	admin := kadm.NewClient(client)
	topic := record.TopicsOf(prefix).Telemetry()
	rights := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Allow("User:"+id).Operations(kadm.OpWrite, kadm.OpDescribe)
	}
	if _, err := admin.DeleteACLs(ctx, rights().AllowHosts()); err != nil {
		t.Fatal(err)
	}
	gateway.awaitLog("TOPIC_AUTHORIZATION_FAILED")
	if _, err := admin.CreateACLs(ctx, rights()); err != nil {
		t.Fatal(err)
	}
	s.awaitSent(t, 2*time.Minute)

	if _, err := admin.DeleteTopic(ctx, topic); err != nil {
		t.Fatal(err)
	}
	await(t, "telemetry has nowhere to go", 2*time.Minute, func() bool { return s.waiting(t) > 10 })
	if err := cluster.CreateTopics(ctx, prefix); err != nil {
		t.Fatal(err)
	}
	s.awaitSent(t, 2*time.Minute)

	little, usual := "100", "1000000"
	for _, limit := range []*string{&little, &usual} {
		for _, name := range []string{topic, record.TopicsOf(prefix).Backfill()} {
			altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: limit}}, name)
			if err != nil || altered[0].Err != nil {
				t.Fatal(err, altered)
			}
		}
		if limit == &little {
			gateway.awaitLog("a record is too large for the log")
			await(t, "events go on", time.Minute, func() bool { return s.metric(t, `link_state{lane="events",state="up"}`) == 1 })
		}
	}
	gateway.stop()
	gateway = s.gateway(t)
	s.awaitSent(t, 2*time.Minute)
}
