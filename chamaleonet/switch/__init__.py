"""From verdicts to OpenFlow rules: pipelines, redirects, and the door to the framework."""
