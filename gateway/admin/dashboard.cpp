#include "admin/dashboard.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>

namespace gateway {

namespace {

constexpr std::string_view assets = "/dashboard/";
constexpr std::string_view chat_page = "chat.html";

// Nothing from elsewhere, nothing inline, no frame around it.
constexpr std::string_view hardened =
    "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\nCache-Control: no-cache\r\n";
constexpr std::string_view dashboard_policy =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n";

const embedded_file* find(std::string_view path)
{
    auto found = std::find_if(embedded_files.begin(), embedded_files.end(),
                              [&](const embedded_file& f) { return f.path == path; });
    return found == embedded_files.end() ? nullptr : &*found;
}

std::string_view type_of(std::string_view path)
{
    if (path.ends_with(".html"))
        return "text/html; charset=utf-8";
    if (path.ends_with(".js"))
        return "text/javascript; charset=utf-8";
    if (path.ends_with(".css"))
        return "text/css; charset=utf-8";
    if (path.ends_with(".svg"))
        return "image/svg+xml";
    return "text/plain; charset=utf-8";
}

std::string_view between(std::string_view text, std::string_view begin, std::string_view end)
{
    auto from = text.find(begin);
    if (from == std::string_view::npos)
        return {};
    from += begin.size();
    return text.substr(from, text.find(end, from) - from);
}

// 'sha256-…' of an inline part, as a Content-Security-Policy names it.
std::string source_hash(std::string_view inline_part)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    ::SHA256(reinterpret_cast<const unsigned char*>(inline_part.data()), inline_part.size(),
             digest);
    char text[64];
    auto n = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text), digest, sizeof digest);
    return "'sha256-" + std::string(text, std::size_t(n)) + "'";
}

// The example as it stands in deploy/examples, with the gateway's own address in it: what it loads
// is itself, whom it asks is the public port.
void chat(responder& to, const std::string& gateway_url)
{
    std::string page(find(chat_page)->body);
    constexpr std::string_view placeholder = "http://127.0.0.1:11435";
    if (auto at = page.find(placeholder); at != std::string::npos)
        page.replace(at, placeholder.size(), gateway_url);
    std::string fields(hardened);
    fields.append("Content-Security-Policy: default-src 'none'; script-src ")
        .append(source_hash(between(page, "<script type=\"module\">", "</script>")))
        .append("; style-src ")
        .append(source_hash(between(page, "<style>", "</style>")))
        .append("; connect-src ")
        .append(gateway_url.empty() ? "'none'" : gateway_url)
        .append("; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n");
    to.whole(200, type_of(chat_page), page, fields);
}

}  // namespace

std::string public_url(std::string_view admin_host, const std::vector<std::string>& addresses)
{
    auto colon = admin_host.rfind(':');
    auto name = admin_host;
    if (colon != std::string_view::npos && admin_host.find(']', colon) == std::string_view::npos)
        name = admin_host.substr(0, colon);
    // It goes into a header field and a page: only what a host is made of.
    auto fits = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
    };
    if (name.empty() || !std::all_of(name.begin(), name.end(), fits))
        return {};
    for (const auto& a : addresses)
        if (!a.starts_with("unix:"))
            return "http://" + std::string(name) + a.substr(a.rfind(':'));
    return {};
}

bool is_dashboard_path(std::string_view path)
{
    return path == "/" || path == "/try" || path.starts_with(assets);
}

void answer_dashboard(const page_request& r, responder& to,
                      const std::vector<std::string>& public_addresses)
{
    std::string_view path = r.head.path;
    if (path == "/try") {
        chat(to, public_url(r.head.get(field_name::host), public_addresses));
        return;
    }
    const auto* file = find(path == "/" ? "index.html" : path.substr(assets.size()));
    if (file == nullptr || file->path == chat_page) {
        to.fail({fault_code::not_found, "no such page", whose::client, retry::no, 0});
        return;
    }
    to.whole(200, type_of(file->path), file->body,
             std::string(hardened) + std::string(dashboard_policy));
}

}  // namespace gateway
