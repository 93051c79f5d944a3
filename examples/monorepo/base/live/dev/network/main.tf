module "network" {
  source = "../../../modules/network"
  cidr   = "10.10.0.0/16"
}
