#include "bench/sim/request_body.hpp"

#include <zstd.h>

#include <memory>

#include "bench/sim/text.hpp"

namespace sim {

namespace {

constexpr std::size_t max_decompressed = 20 << 20;

}  // namespace

std::optional<std::string> unzstd(std::string_view body)
{
    std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                      ZSTD_freeDStream);
    ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 23);
    std::string out;
    std::string piece(ZSTD_DStreamOutSize(), '\0');
    ZSTD_inBuffer in{body.data(), body.size(), 0};
    std::size_t wants = 1;
    while (in.pos < in.size || wants != 0) {
        ZSTD_outBuffer to{piece.data(), piece.size(), 0};
        auto before = in.pos;
        wants = ZSTD_decompressStream(stream.get(), &to, &in);
        if (ZSTD_isError(wants) || out.size() + to.pos > max_decompressed)
            return std::nullopt;
        out.append(piece, 0, to.pos);
        if (in.pos == before && to.pos == 0)
            break;
    }
    if (wants != 0)
        return std::nullopt;
    return out;
}

std::optional<std::map<std::string, std::string>> parse_form(std::string_view content_type,
                                                             std::string_view body)
{
    auto low = lowered(content_type);
    auto at = low.find("boundary=");
    if (!low.starts_with("multipart/form-data") || at == std::string::npos)
        return std::nullopt;
    auto boundary = content_type.substr(at + 9);
    boundary = boundary.substr(0, boundary.find(';'));
    if (boundary.size() >= 2 && boundary.front() == '"' && boundary.back() == '"')
        boundary = boundary.substr(1, boundary.size() - 2);
    if (boundary.empty())
        return std::nullopt;
    auto first = "--" + std::string(boundary);
    auto next = "\r\n" + first;
    if (!body.starts_with(first))
        return std::nullopt;
    body.remove_prefix(first.size());
    std::map<std::string, std::string> out;
    while (!body.starts_with("--")) {
        auto head_end = body.find("\r\n\r\n");
        auto part_end = body.find(next, head_end == std::string_view::npos ? 0 : head_end + 2);
        if (head_end == std::string_view::npos || part_end == std::string_view::npos)
            return std::nullopt;
        auto head = body.substr(0, head_end);
        auto name = head.find("name=\"");
        if (name == std::string_view::npos)
            return std::nullopt;
        auto rest = head.substr(name + 6);
        auto begin = std::min(head_end + 4, part_end);
        out[std::string(rest.substr(0, rest.find('"')))] = body.substr(begin, part_end - begin);
        body.remove_prefix(part_end + next.size());
    }
    return out;
}

}  // namespace sim
