module "app" {
  source      = "../../../modules/service"
  environment = "prod"
  part        = "app"
  replicas    = 3
}
