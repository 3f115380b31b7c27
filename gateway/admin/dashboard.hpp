// The pages for people on the admin port: the dashboard at / and the chat page at /try. They are
// built into the program (gateway/admin/embed.cmake) and need nothing from anywhere else.
#pragma once

#include "downstream/pages.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// A file of gateway/admin/dashboard/ or deploy/examples/chat.html.
struct embedded_file {
    std::string_view path;  // "index.html", "uplot/uPlot.min.css"
    std::string_view body;
};
extern const std::vector<embedded_file> embedded_files;

bool is_dashboard_path(std::string_view path);

// `public_addresses`: where the clients' listeners are, for the chat page.
void answer_dashboard(const page_request& r, responder& to,
                      const std::vector<std::string>& public_addresses);

// "http://gw.example:11435" as a browser that asked for `admin_host` reaches the first of them that
// is no unix socket; empty when there is none, or when the Host is none.
std::string public_url(std::string_view admin_host, const std::vector<std::string>& addresses);

}  // namespace gateway
