import { now } from "../clock";
import { durationText, timeText, utcText } from "../format";

/** A moment in local time; its title has it in UTC. */
export function Moment({ us }: { us: number }) {
  return (
    <time dateTime={new Date(us / 1000).toISOString()} title={utcText(us)}>
      {timeText(us, now.value)}
    </time>
  );
}

/** How long ago a moment was, kept up to date. */
export function Age({ us }: { us: number }) {
  return <span class="age">{durationText(now.value - us)}</span>;
}
