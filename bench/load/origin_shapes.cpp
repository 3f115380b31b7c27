// Ollama's wire forms, as far as a gateway in front of the origin looks at them.
#include "bench/load/origin_shapes.hpp"

#include <cstdio>

namespace load {

namespace {

constexpr std::string_view json = "application/json; charset=utf-8";
constexpr std::string_view digest =
    "365c0bd3c000a25d28ddbf732fe1c6add414de7275464c4e4d1c3b5fcb5d8ad1";
constexpr std::string_view line_start =
    R"({"model":"bench:latest","created_at":"2026-11-01T12:00:00Z",)"
    R"("message":{"role":"assistant","content":")";
constexpr std::string_view line_end = "\"},\"done\":false}\n";
constexpr std::size_t stamp_digits = 20;

std::string details()
{
    return R"("details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],)"
           R"("parameter_size":"8.0B","quantization_level":"Q4_0"})";
}

std::string listed(std::string_view more)
{
    return R"({"models":[{"name":"bench:latest","model":"bench:latest","size":4700000000,)"
           R"("digest":")" +
           std::string(digest) + "\"," + details() + "," + std::string(more) + "}]}";
}

std::string show()
{
    return R"({"modelfile":"FROM /models/blobs/sha256-)" + std::string(digest) +
           R"(","parameters":"","template":"{{ .Prompt }}",)" + details() +
           R"(,"model_info":{"general.architecture":"llama","general.parameter_count":8030261248,)"
           R"("llama.context_length":8192,"llama.block_count":32,"llama.embedding_length":4096},)"
           R"("capabilities":["completion"],"modified_at":"2026-11-01T12:00:00Z"})";
}

std::string hex(std::size_t n)
{
    char text[20];
    std::snprintf(text, sizeof text, "%zx", n);
    return text;
}

// The chunk's framing and text around the place of the stamp.
struct chunk_form {
    chunk_form()
    {
        text = hex(line_start.size() + stamp_digits + line_end.size()) + "\r\n";
        text += line_start;
        at = text.size();
        text.append(stamp_digits, '0');
        text += line_end;
        text += "\r\n";
    }
    std::string text;
    std::size_t at;
};

}  // namespace

std::string whole_answer(std::string_view status, std::string_view type, std::string_view body)
{
    std::string answer = "HTTP/1.1 ";
    answer += status;
    answer += "\r\nContent-Type: ";
    answer += type;
    answer += "\r\nDate: Sun, 01 Nov 2026 12:00:00 GMT\r\nContent-Length: ";
    answer += std::to_string(body.size());
    answer += "\r\n\r\n";
    answer += body;
    return answer;
}

std::string information(std::string_view method, std::string_view path, bool loaded)
{
    if (path == "/") {
        auto answer = whole_answer("200 OK", "text/plain; charset=utf-8", "Ollama is running");
        if (method == "HEAD")
            answer.resize(answer.find("\r\n\r\n") + 4);
        return answer;
    }
    if (path == "/api/version")
        return whole_answer("200 OK", json, R"({"version":"0.33.0"})");
    if (path == "/api/tags")
        return whole_answer("200 OK", json, listed(R"("modified_at":"2026-11-01T12:00:00Z")"));
    if (path == "/api/ps")
        return whole_answer("200 OK", json,
                            loaded ? listed(R"("expires_at":"2318-11-01T12:00:00Z",)"
                                            R"("size_vram":4700000000,"context_length":4096)")
                                   : R"({"models":[]})");
    if (path == "/api/show")
        return whole_answer("200 OK", json, show());
    return whole_answer("404 Not Found", "text/plain", "404 page not found");
}

std::string chat_answer()
{
    return whole_answer("200 OK", json,
                        R"({"model":"bench:latest","created_at":"2026-11-01T12:00:00Z",)"
                        R"("message":{"role":"assistant","content":"Four."},"done":true,)"
                        R"("done_reason":"stop","total_duration":5000000,"load_duration":1000,)"
                        R"("prompt_eval_count":12,"eval_count":2,"eval_duration":4000000})");
}

std::string load_answer(std::string_view reason)
{
    return whole_answer("200 OK", json,
                        R"({"model":"bench:latest","created_at":"2026-11-01T12:00:00Z",)"
                        R"("response":"","message":{"role":"assistant","content":""},"done":true,)"
                        R"("done_reason":")" +
                            std::string(reason) + "\"}");
}

std::string_view stream_head()
{
    return "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
           "Date: Sun, 01 Nov 2026 12:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n";
}

std::string_view stream_chunk(nanos stamp)
{
    static chunk_form form;
    for (std::size_t i = stamp_digits; i-- > 0; stamp /= 10)
        form.text[form.at + i] = char('0' + stamp % 10);
    return form.text;
}

std::string stream_final_line(long chunks)
{
    auto line = R"({"model":"bench:latest","created_at":"2026-11-01T12:00:00Z",)"
                R"("message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",)"
                R"("total_duration":5000000,"prompt_eval_count":12,"eval_count":)" +
                std::to_string(chunks) + "}\n";
    return hex(line.size()) + "\r\n" + line + "\r\n";
}

std::string_view stream_end()
{
    return "0\r\n\r\n";
}

nanos stamp_in(std::string_view line)
{
    // Usually at the place where the origin put it; a proxy may have written the line anew.
    constexpr std::string_view before = "\"content\":\"";
    auto at = line_start.size();
    if (line.substr(at - before.size(), before.size()) != before) {
        at = line.find(before);
        if (at == line.npos)
            return 0;
        at += before.size();
    }
    if (line.size() < at + stamp_digits)
        return 0;
    nanos stamp = 0;
    for (std::size_t i = 0; i < stamp_digits; ++i) {
        auto digit = unsigned(line[at + i]) - '0';
        if (digit > 9)
            return 0;
        stamp = stamp * 10 + nanos(digit);
    }
    return stamp;
}

}  // namespace load
