module "audit" {
  source      = "../../../modules/service"
  environment = "prod"
  part        = "audit"
}
