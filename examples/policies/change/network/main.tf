resource "terraform_data" "web" {
  input = { size = "large", public = true }
}

resource "terraform_data" "database" {
  input = { size = "large", public = false }
}
