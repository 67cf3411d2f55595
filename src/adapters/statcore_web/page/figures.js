// The main figures of an object, as lists and the view of an object show them.

/** The figures by their name in the schema: the title of their column, and their unit. */
export const FIGURES = {
  cpu_pct: { title: "CPU", unit: "percent" },
  mem_bytes: { title: "Memory", unit: "bytes" },
  accelerator_pct: { title: "Accel.", unit: "percent" },
  accelerator_mem_bytes: { title: "Acc. mem.", unit: "bytes" },
  rx_bytes_per_s: { title: "Received", unit: "bytes_per_s" },
  tx_bytes_per_s: { title: "Sent", unit: "bytes_per_s" },
};

/** What 100 % of CPU is. */
export const CORES = "100 % is one core";

/** All figures in a query. */
export const FIGURE_FIELDS = `figures { ${Object.keys(FIGURES).join(" ")} }`;
