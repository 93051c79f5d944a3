module "network" {
  source = "../../../modules/network"
  cidr   = "10.20.0.0/16"
}
