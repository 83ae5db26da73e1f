import { AggregateExplorer } from "./AggregateExplorer";
import { ProfileExplorer } from "./ProfileExplorer";

/** Asks the platform itself: one cookie's history, and aggregates as a chart. */
export const Explore = () => (
  <div class="explore">
    <h1 class="unseen">Explore the platform</h1>
    <ProfileExplorer />
    <AggregateExplorer />
  </div>
);
