package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// ExplainRules asks the gateway of a configuration that runs on this machine why its
// alarms are active or aren't. The configuration's file names are relative to dir.
func ExplainRules(ctx context.Context, config gatewayconfig.Config, dir string, q rules.Question) ([]rules.Explanation, error) {
	answer, name, err := question{at: here(config, dir), path: "/rules/explain", body: q}.ask(ctx)
	if errors.Is(err, errNobody) {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	} else if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if name != config.Gateway.ID {
		return nil, fmt.Errorf("%w: at %s is another program, or gateway %q", ErrNotRunning, config.Status.Listen, name)
	}
	var explanations []rules.Explanation
	err = take(answer, &explanations)
	return explanations, err
}

// explainedAtOnce is how many alarms are explained between two batches of samples, a
// millisecond's worth.
const explainedAtOnce = 20

// Explain implements status.Source.
func (g source) Explain(ctx context.Context, q rules.Question) ([]rules.Explanation, error) {
	g.explaining.Lock() // binding thousands of rules takes a second
	defer g.explaining.Unlock()
	live := g.live.Load()
	var answer []rules.Explanation
	for inquiry := range rules.NewInquiry(live.config.Rules, live.devices.model, q).Chunks(explainedAtOnce) {
		g.pipeline.do(ctx, func() []telemetry.Sample {
			answer = append(answer, g.pipeline.engine.Explain(inquiry, time.Now())...)
			return nil
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return answer, nil
}
