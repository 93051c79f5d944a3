# The dashboard, where the operator wants it. Its metrics of the engine are those of iac_ci_common.metrics; a test compares
# them. docs/operations.md says how to read it.

locals {
  # List prices in US dollars of us-east-1, as in bench/prices.json; a test compares them.
  prices = {
    lambda_gb_second       = 0.0000166667
    codebuild_small_minute = 0.005
    dynamodb_write_unit    = 0.000000625
    dynamodb_read_unit     = 0.000000125
  }

  worker_memory_mb = coalesce(var.worker_memory_mb, local.functions["worker"].memory_mb)
  memory_gb        = { for name, function in local.functions : name => (name == "worker" ? local.worker_memory_mb : function.memory_mb) / 1024 }

  # One hidden metric for each function and table, and its price in the expression that adds them.
  function_seconds = { for name in sort(keys(local.functions)) : replace(name, "-", "_") => name }
  table_units = {
    for pair in setproduct(["orders", "order-events", "locks"], ["Write", "Read"]) :
    "${replace(pair[0], "-", "_")}_${lower(pair[1])}" => { table = "${var.stack}-${pair[0]}", metric = "Consumed${pair[1]}CapacityUnits", kind = lower(pair[1]) }
  }

  cost_metrics = concat(
    [for id, name in local.function_seconds : ["AWS/Lambda", "Duration", "FunctionName", "${var.stack}-${name}", { id = id, stat = "Sum", visible = false }]],
    [["AWS/CodeBuild", "Duration", "ProjectName", "${var.stack}-worker", { id = "builds", stat = "Sum", visible = false }]],
    [for id, unit in local.table_units : ["AWS/DynamoDB", unit.metric, "TableName", unit.table, { id = id, stat = "Sum", visible = false }]],
  )

  functions_cost = join("+", [for id, name in local.function_seconds : "FILL(${id},0)*${format("%.12f", local.memory_gb[name] / 1000 * local.prices.lambda_gb_second)}"])
  builds_cost    = "FILL(builds,0)*${format("%.12f", local.prices.codebuild_small_minute / 60)}"
  tables_cost    = join("+", [for id, unit in local.table_units : "FILL(${id},0)*${format("%.12f", unit.kind == "write" ? local.prices.dynamodb_write_unit : local.prices.dynamodb_read_unit)}"])

  engine_metric = { for name in local.engine_metrics : name => [local.metric_namespace, name, "stack", var.stack] }
  engine_metrics = [
    "RunsSucceeded", "RunsFailed", "RunsTimedOut", "RunsCancelled",
    "SecondsToFirstCommand", "OpenRunSeconds", "WaitingOrders",
  ]

  widgets = [
    {
      title = "Runs that ended, by state"
      metrics = [
        concat(local.engine_metric.RunsSucceeded, [{ label = "succeeded", color = "#2ca02c" }]),
        concat(local.engine_metric.RunsFailed, [{ label = "failed", color = "#d62728" }]),
        concat(local.engine_metric.RunsTimedOut, [{ label = "timed out", color = "#ff7f0e" }]),
        concat(local.engine_metric.RunsCancelled, [{ label = "cancelled", color = "#7f7f7f" }]),
      ]
      stat   = "Sum"
      period = 3600
    },
    {
      title = "Open runs, and orders that have not started"
      metrics = [
        concat(local.engine_metric.OpenRunSeconds, [{ label = "open runs", stat = "SampleCount" }]),
        concat(local.engine_metric.WaitingOrders, [{ label = "waiting orders" }]),
      ]
      stat   = "Sum"
      period = 60
    },
    {
      title = "Seconds from webhook to first command"
      metrics = [
        concat(local.engine_metric.SecondsToFirstCommand, [{ label = "p50", stat = "p50" }]),
        concat(local.engine_metric.SecondsToFirstCommand, [{ label = "p95", stat = "p95" }]),
      ]
      stat   = "p50"
      period = 3600
    },
    {
      title   = "Age of the oldest open run, in seconds"
      metrics = [concat(local.engine_metric.OpenRunSeconds, [{ label = "oldest" }])]
      stat    = "Maximum"
      period  = 60
    },
    {
      title = "Cost of functions, builds and tables, in US dollars an hour at list prices"
      metrics = concat(local.cost_metrics, [
        [{ id = "functions_cost", label = "functions", expression = local.functions_cost }],
        [{ id = "builds_cost", label = "builds, as small ones", expression = local.builds_cost }],
        [{ id = "tables_cost", label = "tables", expression = local.tables_cost }],
      ])
      stat   = "Sum"
      period = 3600
    },
  ]
}

resource "aws_cloudwatch_dashboard" "engine" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.stack
  dashboard_body = jsonencode({
    widgets = [
      for number, widget in local.widgets : {
        type   = "metric"
        x      = number % 2 * 12
        y      = floor(number / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = var.region
          view    = "timeSeries"
          stat    = widget.stat
          period  = widget.period
          metrics = widget.metrics
        }
      }
    ]
  })
}
