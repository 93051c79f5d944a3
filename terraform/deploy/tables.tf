# Tables for orders, events and locks. On-demand: without traffic only storage costs money.

resource "aws_dynamodb_table" "table" {
  for_each = local.stack["tables.json"].tables

  name         = "${var.stack}-${each.key}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = each.value.hash_key.name
  range_key    = try(each.value.range_key.name, null)

  # DynamoDB refuses to delete a table until pipelines/teardown has switched this off.
  deletion_protection_enabled = !var.destroy_contents

  dynamic "attribute" {
    for_each = merge(
      { (each.value.hash_key.name) = each.value.hash_key.type },
      try({ (each.value.range_key.name) = each.value.range_key.type }, {}),
      # Several indexes may have one key.
      [for index in each.value.indexes : {
        (index.hash_key.name)  = index.hash_key.type
        (index.range_key.name) = index.range_key.type
      }]...
    )
    content {
      name = attribute.key
      type = attribute.value
    }
  }

  dynamic "global_secondary_index" {
    for_each = each.value.indexes
    content {
      name            = global_secondary_index.value.name
      hash_key        = global_secondary_index.value.hash_key.name
      range_key       = global_secondary_index.value.range_key.name
      projection_type = global_secondary_index.value.projection
    }
  }

  ttl {
    enabled        = true
    attribute_name = each.value.ttl_attribute
  }

  server_side_encryption {
    enabled = true
  }
}
