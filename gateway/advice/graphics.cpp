#include "advice/graphics.hpp"

#include <cstdio>
#include <memory>

namespace gateway {

std::vector<graphics_card> graphics_cards()
{
    struct closes {
        void operator()(FILE* f) const { ::pclose(f); }
    };
    std::unique_ptr<FILE, closes> said(
        ::popen("timeout 5 nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits"
                " 2>/dev/null",
                "r"));
    std::string text;
    char part[4096];
    while (said && text.size() < 65536) {
        auto n = std::fread(part, 1, sizeof part, said.get());
        if (n == 0)
            break;
        text.append(part, n);
    }
    return parse_cards(text);
}

}  // namespace gateway
