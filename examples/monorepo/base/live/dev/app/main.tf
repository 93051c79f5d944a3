module "app" {
  source      = "../../../modules/service"
  environment = "dev"
  part        = "app"
  replicas    = 1
}
