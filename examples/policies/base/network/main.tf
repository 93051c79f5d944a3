resource "terraform_data" "web" {
  input = { size = "small", public = false }
}

resource "terraform_data" "database" {
  input = { size = "large", public = false }
}
